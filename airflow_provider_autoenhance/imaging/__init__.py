"""What a picture file is, whether it is whole, and how an output should look."""
