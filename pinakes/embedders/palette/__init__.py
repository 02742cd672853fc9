"""The built-in descriptor of colour and texture."""
