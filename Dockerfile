FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=3 \
    KERAS_HOME=/weights \
    MALLOC_ARENA_MAX=2 \
    CONVFE_HOSTED=1

RUN useradd --create-home --uid 1000 convfe \
    && install --directory --owner=convfe /weights

WORKDIR /app
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY convfe_core convfe_core
RUN pip install --no-cache-dir -r requirements.txt
COPY dashboard.py ./
COPY .streamlit .streamlit
COPY pages pages

USER 1000
VOLUME /weights
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "dashboard.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
