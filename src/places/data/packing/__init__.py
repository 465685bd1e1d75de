"""From archives, folders and foreign tars to shards; shards against their manifest."""
