"""What a run keeps, logs and shows beyond Lightning's own callbacks, one file per purpose."""
