"""bangeod: the maintenance daemon of BanGUI, a web interface for fail2ban."""

from importlib.metadata import version

__version__ = version("bangeod")
