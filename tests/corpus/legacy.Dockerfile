FROM centos:7
MAINTAINER Old Team <old@example.org>
ENV JAVA_HOME /usr/lib/jvm/java
ENV PATH $JAVA_HOME/bin:$PATH
RUN yum -y install java-1.8.0-openjdk && yum clean all
ADD app.tar.gz /opt/
ADD start.sh /
EXPOSE 8080 8443
VOLUME /data /logs
USER 1000
ENTRYPOINT /start.sh
