from experiments.studies.features.options import published
