"""What exists at Autoenhance, each thing made once: identities, images, exposures, orders, and the wait for them."""
