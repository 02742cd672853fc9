"""What a picture is: its formats, decoding it, and contact sheets."""
