"""What declaring, making and writing down objects costs, beside plain pydantic doing the same."""
