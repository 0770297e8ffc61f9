"""Draw pictures of handwritten digits as people take them, each with what is written in it: see `scenes.draw_scene`."""
