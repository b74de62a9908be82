# The controller as one static binary in an empty image, run by a user that is nobody. Policy modules are not in it: they
# are mounted.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /source
COPY . .
RUN cargo build --release --locked && cp target/release/landfall /landfall

FROM scratch
COPY --from=build /landfall /landfall
USER 65532:65532
ENTRYPOINT ["/landfall"]
CMD ["controller"]
