FROM python:3.11-alpine
LABEL maintainer="team@example.org" org.opencontainers.image.title="flask app"
ENV PIPENV_VENV_IN_PROJECT=1 FLASK_ENV=production
RUN apk add --no-cache gcc musl-dev libffi-dev && pip install pipenv
WORKDIR /app
COPY Pipfile Pipfile.lock ./
RUN pipenv sync && apk del gcc musl-dev
COPY . .
EXPOSE 5000/tcp
ENTRYPOINT ["pipenv", "run"]
CMD ["flask", "run", "--host=0.0.0.0"]
