namespace visage {}
