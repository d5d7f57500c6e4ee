"""The welcome page and the list of products."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .models import Product

WELCOME = "Welcome to the shop"


def home(request: HttpRequest) -> HttpResponse:
    """The first page; it needs no database."""
    return render(request, "catalogue/home.html", {"welcome": WELCOME})


def products(request: HttpRequest) -> HttpResponse:
    """All products by name."""
    return render(request, "catalogue/products.html", {"products": Product.objects.all()})
