FROM maven:3.9-eclipse-temurin-21 AS build
WORKDIR /build
COPY pom.xml .
RUN --mount=type=cache,target=/root/.m2 mvn -B dependency:go-offline
COPY src src
RUN --mount=type=cache,target=/root/.m2 mvn -B package -DskipTests
RUN mkdir -p target/x && cd target/x && jar -xf ../*.jar
FROM eclipse-temurin:21-jre
VOLUME /tmp
ARG D=/build/target/x
COPY --from=build ${D}/BOOT-INF/lib /app/lib
COPY --from=build ${D}/META-INF /app/META-INF
COPY --from=build ${D}/BOOT-INF/classes /app
ENV JAVA_OPTS="-XX:MaxRAMPercentage=75 -Dx=\"y z\""
ENTRYPOINT ["sh", "-c", "java $JAVA_OPTS -cp app:app/lib/* org.example.Main ${0} ${@}"]
