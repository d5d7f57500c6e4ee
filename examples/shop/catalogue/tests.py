"""One test of both pages."""

from django.test import TestCase
from django.urls import reverse

from .models import Product
from .views import WELCOME


class PagesTest(TestCase):
    """What a visitor sees."""

    def test_home_and_products(self) -> None:
        Product.objects.create(name="Lamp", price_cents=1250)
        self.assertContains(self.client.get(reverse("home")), WELCOME)
        self.assertContains(self.client.get(reverse("products")), "Lamp: 12.50")
