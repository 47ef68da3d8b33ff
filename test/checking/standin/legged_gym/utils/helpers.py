"""`class_to_dict` alone."""


def class_to_dict(value):
    if not hasattr(value, '__dict__'):
        return value
    names = [name for name in dir(value) if not name.startswith('_')]
    return {name: class_to_dict(getattr(value, name)) for name in names}
