"""What a private run costs: the ε of the updates of a site. Pure, so that the hub and a site can reckon alike."""
