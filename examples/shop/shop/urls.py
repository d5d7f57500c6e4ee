"""The shop's two pages."""

from catalogue import views
from django.urls import path

urlpatterns = [
    path("", views.home, name="home"),
    path("products/", views.products, name="products"),
]
