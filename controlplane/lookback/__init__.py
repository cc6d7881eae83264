"""What a fleet keeps of its past, made into documents for people: a week, an incident."""
