"""Django REST framework with django-filter, in one file."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from sqlalchemy import make_url

from tests.benchmarks.contenders.common import database_url

URL = make_url(database_url())

settings.configure(
    SECRET_KEY="unused",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    TIME_ZONE="UTC",
    INSTALLED_APPS=["rest_framework", "django_filters"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": URL.database,
            "USER": URL.username,
            "PASSWORD": URL.password or "",
            "HOST": URL.host or URL.query.get("host"),
            "PORT": URL.port or "",
            "CONN_MAX_AGE": None,
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
        "DEFAULT_FILTER_BACKENDS": [
            "django_filters.rest_framework.DjangoFilterBackend",
            "rest_framework.filters.SearchFilter",
            "rest_framework.filters.OrderingFilter",
        ],
        "UNAUTHENTICATED_USER": None,
        "PAGE_SIZE": 50,
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework import generics, mixins, pagination, routers, serializers, viewsets  # noqa: E402


class Department(models.Model):
    """The to-one relation of an employee."""

    name = models.CharField(max_length=100)
    company_id = models.IntegerField()

    class Meta:
        app_label, managed, db_table = "benchmark", False, "departments"


class Employee(models.Model):
    """The measured table."""

    name = models.CharField(max_length=100)
    salary = models.DecimalField(max_digits=10, decimal_places=2)
    rating = models.FloatField()
    active = models.BooleanField()
    hired = models.DateField()
    seen_at = models.DateTimeField()
    department = models.ForeignKey(Department, models.DO_NOTHING, related_name="employees")

    class Meta:
        app_label, managed, db_table = "benchmark", False, "employees"


class Skill(models.Model):
    """The to-many relation of an employee."""

    name = models.CharField(max_length=100)
    # The database takes an employee's skills away with the employee.
    employee = models.ForeignKey(Employee, models.DO_NOTHING, related_name="skills")

    class Meta:
        app_label, managed, db_table = "benchmark", False, "skills"
        ordering = ["id"]


class DepartmentSerializer(serializers.ModelSerializer):
    """A department."""

    class Meta:
        model, fields = Department, ["id", "name"]


class SkillSerializer(serializers.ModelSerializer):
    """What somebody can do."""

    class Meta:
        model, fields = Skill, ["id", "name"]


COLUMNS = ["id", "name", "salary", "rating", "active", "hired", "seen_at", "department_id"]


class EmployeeSerializer(serializers.ModelSerializer):
    """An employee."""

    department_id = serializers.PrimaryKeyRelatedField(source="department", queryset=Department.objects.all())

    class Meta:
        model, fields = Employee, COLUMNS

    def to_representation(self, instance: Any) -> Any:
        """Show the key of the department without loading it."""
        shown = super().to_representation(instance)
        shown["department_id"] = instance.department_id
        return shown


class EmployeeReadSerializer(serializers.ModelSerializer):
    """An employee, read only."""

    department_id = serializers.IntegerField()

    class Meta:
        model, fields = Employee, COLUMNS


class ProfileSerializer(EmployeeReadSerializer):
    """An employee with the relations."""

    department = DepartmentSerializer()
    skills = SkillSerializer(many=True)

    class Meta:
        model, fields = Employee, [*COLUMNS, "department", "skills"]


class Pages(pagination.PageNumberPagination):
    """Pages with a count."""

    page_size_query_param = "page_size"
    max_page_size = 100


class EmployeeViewSet(viewsets.ModelViewSet):
    """Employees."""

    queryset = Employee.objects.order_by("id")
    pagination_class = Pages
    filterset_fields = {"rating": ["gte", "lte"], "hired": ["gte", "lte"], "department_id": ["exact"]}
    search_fields = ["^name"]
    ordering_fields = ["salary", "rating", "hired"]

    def get_serializer_class(self) -> Any:
        """Read without a field that looks up departments."""
        return EmployeeReadSerializer if self.request.method == "GET" else EmployeeSerializer


class Uncounted(pagination.CursorPagination):
    """Pages without a count."""

    ordering = "id"


class FeedViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Employees, uncounted."""

    queryset = Employee.objects.all()
    serializer_class = EmployeeReadSerializer
    pagination_class = Uncounted
    filter_backends: list[Any] = []


class ProfileViewSet(FeedViewSet):
    """Employees with their relations, uncounted."""

    queryset = Employee.objects.select_related("department").prefetch_related("skills")
    serializer_class = ProfileSerializer


class NestedView(generics.ListAPIView):
    """The employees of a department of a company."""

    serializer_class = EmployeeReadSerializer
    pagination_class = Pages
    filterset_fields = EmployeeViewSet.filterset_fields
    search_fields = EmployeeViewSet.search_fields
    ordering_fields = EmployeeViewSet.ordering_fields

    def get_queryset(self) -> Any:
        """Return the employees of the department, where the company has it."""
        department = get_object_or_404(Department, id=self.kwargs["department"], company_id=self.kwargs["company"])
        return department.employees.order_by("id")


router = routers.SimpleRouter(trailing_slash=False)
router.register("employees", EmployeeViewSet)
router.register("feed", FeedViewSet, basename="feed")
router.register("profiles", ProfileViewSet, basename="profiles")

urlpatterns = [
    path("", include(router.urls)),
    path("companies/<int:company>/departments/<int:department>/employees", NestedView.as_view()),
]

application = get_wsgi_application()
