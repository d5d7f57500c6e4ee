FROM gradle:8-jdk17 AS build
USER gradle
WORKDIR /home/gradle/p
COPY --chown=gradle:gradle settings.gradle.kts build.gradle.kts gradle.properties ./
COPY --chown=gradle:gradle gradle gradle
RUN gradle --no-daemon dependencies > /dev/null
COPY --chown=gradle:gradle . .
RUN gradle --no-daemon installDist
FROM eclipse-temurin:17 AS jre
RUN jlink --add-modules java.base,java.logging,java.sql --strip-debug --no-man-pages --output /jre
FROM debian:bookworm-slim
ENV JAVA_HOME=/jre PATH=/jre/bin:${PATH}
COPY --from=jre /jre /jre
COPY --from=build /home/gradle/p/build/install/app /opt/app
CMD ["/opt/app/bin/app"]
