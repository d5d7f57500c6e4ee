"""What the shop sells."""

from django.db import models


class Product(models.Model):
    """One article with its price in cents."""

    name = models.CharField(max_length=80, unique=True)
    price_cents = models.PositiveIntegerField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def price(self) -> str:
        """The price as customers read it, such as `12.50`."""
        return f"{self.price_cents // 100}.{self.price_cents % 100:02d}"
