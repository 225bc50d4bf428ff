"""Below check-clients, with a package of PyPI to import: PACKAGE DOCUMENT DIRECTORY.

openrpc reads the document as its own model. openrpcclientgenerator makes clients of it; the one in Python is compiled,
and each example's result is read by the model that was made for it.
"""
import importlib.util
import json
import keyword
import pathlib
import py_compile
import sys


def without_keywords(value):
    """The document with names that are no words of Python: this generator writes them as they are."""
    if isinstance(value, list):
        return [without_keywords(element) for element in value]
    if not isinstance(value, dict):
        return value
    changed = {f"{key}_word" if keyword.iskeyword(key) else key: without_keywords(one) for key, one in value.items()}
    verb = changed["name"].rpartition(".")[2] if isinstance(changed.get("name"), str) else ""
    return changed | {"name": changed["name"] + "_word"} if keyword.iskeyword(verb) else changed


def read(text):
    """The document as a model."""
    from openrpc import OpenRPC

    document = OpenRPC.model_validate_json(text)
    names = [method.name for method in document.methods]
    assert len(names) == len(json.loads(text)["methods"]) > 80, names
    assert all(method.examples and method.tags for method in document.methods)
    return document


def load(path):
    spec = importlib.util.spec_from_file_location("models", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["models"] = module
    spec.loader.exec_module(module)
    return module


def check_models(models, document):
    """Results of examples fit the classes that were made for them."""
    from pydantic import ValidationError

    count = 0
    for method in document["methods"]:
        reference = method["result"]["schema"].get("$ref", "")
        if not reference:
            continue
        model = getattr(models, reference.rpartition("/")[2])
        for example in method["examples"]:
            value = example["result"]["value"]
            try:
                assert set(value) <= set(model.model_validate(value).model_dump()), method["name"]
                count += 1
            except ValidationError as error:
                # This generator takes every member for required.
                assert {one["type"] for one in error.errors()} == {"missing"}, error
    assert count > 50, count


def generate(text, directory):
    from openrpcclientgenerator import Language, generate

    document = without_keywords(json.loads(text))
    for language in Language:
        generate(read(json.dumps(document)), language, "http://localhost/", pathlib.Path(directory))
    made = list(pathlib.Path(directory).glob("python/*/*/*.py"))
    assert {path.name for path in made} >= {"client.py", "models.py"}, made
    for path in made:
        py_compile.compile(str(path), doraise=True)
    check_models(load(next(path for path in made if path.name == "models.py")), document)
    for pattern in ("typescript/*/src/client.ts", "rust/*/src/client.rs"):
        assert "ioas.map_many" in next(pathlib.Path(directory).glob(pattern)).read_text(), pattern


def main():
    package, document, directory = sys.argv[1:]
    text = pathlib.Path(document).read_text()
    if package == "openrpc":
        read(text)
    else:
        generate(text, directory)


if __name__ == "__main__":
    main()
