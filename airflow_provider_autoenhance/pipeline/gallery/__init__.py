"""What people look at: thumbnails beside the outputs, a JSON of rows for the gallery, and the contact sheet."""
