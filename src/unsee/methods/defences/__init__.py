"""What could do as well as steering: classify and answer otherwise, corrupt, penalise, rotate, route; one file each."""
