"""One HTML file in which anyone can draw a digit and watch the network read it, without a server or a network."""
