"""What the commands share: arguments, configs, errors as sentences, child programs."""
