"""What LocalStack's community edition lacks for rolling a fleet, and where moto is too kind.

Auto Scaling and ELBv2 are moto's, which LocalStack embeds; the life of an instance (time, health,
draining, bad revisions) is the lab's own, in `model`.
"""
