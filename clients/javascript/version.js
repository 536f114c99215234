// Released with Notifier, and with its version.
export const VERSION = "1.0.0";
