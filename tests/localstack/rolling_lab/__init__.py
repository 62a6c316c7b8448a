"""What LocalStack's community edition lacks for rolling a fleet, and what moto wrongly accepts.

Auto Scaling and ELBv2 are moto's, which LocalStack embeds; the course of an instance (time, health,
draining, bad revisions) is the lab's own, in `model`.
"""
