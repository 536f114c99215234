"""What is wrong with OpenTelemetry's variables: its own library would only log it, and go on with something else.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Used by `setting_values`.
"""

from collections.abc import Iterator, Mapping

_BY_RATIO = "traceidratio"
_OWN = ("always_on", "always_off", _BY_RATIO)
SAMPLERS = (*_OWN, *(f"parentbased_{name}" for name in _OWN))  # docs/traces.md names them, too


def faults_of(environ: Mapping[str, str]) -> list[str]:
    """Sentences, without the values."""
    return list(_faults(environ))


def _faults(environ: Mapping[str, str]) -> Iterator[str]:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").lower()
    if sampler and sampler not in SAMPLERS:
        yield f"OTEL_TRACES_SAMPLER must be one of {', '.join(SAMPLERS)}"
    elif sampler.endswith(_BY_RATIO) and not _is_ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", "1")):
        yield "OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1, such as 0.05"
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        yield "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf (collectors take it at port 4318)"


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
