FROM python:3.12 AS onbuild-base
WORKDIR /usr/src/app
ONBUILD ARG EXTRA=""
ONBUILD COPY requirements.txt ./
ONBUILD RUN pip install -r requirements.txt ${EXTRA}
ONBUILD COPY . .
ONBUILD USER nobody
CMD ["python", "app.py"]
FROM onbuild-base
EXPOSE 80
