"""distilabel and NeMo Data Designer on an endpoint of ours; started by generator.py with the Python of setup.sh.

    generator_peers.py distilabel|data-designer URL ROWS PARALLEL

Makes ROWS sentences about a chemical and a disease, PARALLEL calls at once, as each tool's documentation does it.  What
it is timed by is the endpoint's own count: from its first call to its last.
"""

import os
import pathlib
import sys
import tempfile

PROMPT = 'Terms: "{chemical}", "{disease}"\nStyle: a plain statement of fact'
SYSTEM = ("You are an author of biomedical research articles. For the terms you are given, answer with one factual "
          "statement out of such an article. Copy every term letter by letter.")
LISTS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "biomed"


def terms(name):
    return [line.strip() for line in (LISTS / name).read_text().splitlines() if line.strip() and line[0] != "#"]


def distilabel(url, rows, parallel, directory):
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    chemicals, diseases = terms("chemicals.txt"), terms("diseases.txt")
    data = [{"instruction": PROMPT.format(chemical=chemicals[i % len(chemicals)], disease=diseases[i % len(diseases)])}
            for i in range(rows)]
    with Pipeline(name="bench", cache_dir=directory) as pipeline:
        load = LoadDataFromDicts(data=data, batch_size=parallel)
        # A batch is what goes out at once.
        write = TextGeneration(llm=OpenAILLM(model="fixed", base_url=url, api_key="none",
                                             generation_kwargs={"max_new_tokens": 120, "temperature": 0.8}),
                               system_prompt=SYSTEM, input_batch_size=parallel)
        load >> write
    made = pipeline.run(use_cache=False)["default"]["train"]
    return sum(bool(text) for text in made["generation"])


def data_designer(url, rows, parallel, directory):
    import data_designer.config as dd
    from data_designer.interface import DataDesigner

    models = [dd.ModelConfig(alias="m", model="fixed", provider="bench", skip_health_check=True,
                             inference_parameters=dd.ChatCompletionInferenceParams(
                                 temperature=0.8, max_tokens=120, max_parallel_requests=parallel))]
    builder = dd.DataDesignerConfigBuilder(model_configs=models)
    for name in ("chemical", "disease"):
        builder.add_column(dd.SamplerColumnConfig(name=name, sampler_type=dd.SamplerType.CATEGORY,
                                                  params=dd.CategorySamplerParams(values=terms(f"{name}s.txt"))))
    builder.add_column(dd.LLMTextColumnConfig(name="text", model_alias="m", system_prompt=SYSTEM,
                                              prompt=PROMPT.replace("{", "{{ ").replace("}", " }}")))
    designer = DataDesigner(artifact_path=directory,
                            model_providers=[dd.ModelProvider(name="bench", endpoint=url, api_key="none")])
    designer.set_run_config(dd.RunConfig(buffer_size=rows, max_in_flight_tasks=max(1024, parallel)))
    made = designer.create(builder, num_records=rows, dataset_name="bench").load_dataset()
    return sum(bool(text) for text in made["text"])


def main():
    tool, url, rows, parallel = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    os.environ |= {"HF_HUB_OFFLINE": "1", "NEMO_TELEMETRY_ENABLED": "false"}  # load goes to our endpoint alone
    with tempfile.TemporaryDirectory() as directory:
        made = {"distilabel": distilabel, "data-designer": data_designer}[tool](url, rows, parallel, directory)
    if made != rows:
        sys.exit(f"{tool} made {made} of {rows} rows")


if __name__ == "__main__":
    main()
