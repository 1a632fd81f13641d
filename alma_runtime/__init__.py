"""What runs on the appliance and on the mother machine."""

__version__ = "0.1.0"
