"""What a replay shows: the data of each picture, the pictures, and the page that holds them."""
