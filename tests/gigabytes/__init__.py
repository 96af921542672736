"""Files of gigabytes: minutes and disk, so they run when they are asked for."""
