"""Sound as it is spoken: sources, live detection, commands run for it, recorded takes."""
