"""From camera messages, recordings and videos to frames and clips, without ROS."""
