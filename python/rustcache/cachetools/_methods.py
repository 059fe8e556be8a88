"""`cachedmethod` of `cachetools`: a descriptor that puts what is called into the `__dict__` of the instance, under the name of the
method, where the next lookup finds it at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ._decorators import Calls, Counted

# Where an instance has those of overridden methods, which super() finds.
_OVERRIDDEN = "__rustcache_cachedmethods__"


class MethodWithCache:
    """What is in the class."""

    def __init__(
        self,
        method: Callable[..., Any],
        cache: Callable[[Any], Any],
        key: Callable[..., Any],
        lock: Callable[[Any], Any] | None,
        condition: Callable[[Any], Any] | None,
        info: bool,
    ) -> None:
        functools.update_wrapper(self, method)
        self.method = method
        self._of_instance = (cache, key, condition if lock is None else lock, condition)
        self._kind = _CountedBound if info else _Bound
        self._owner: type | None = None
        self._name: str | None = None
        self._of_class: _OfClass | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        if self._name is None:
            self._owner, self._name = owner, name
        elif self._name != name:
            raise TypeError(
                f"a cached method has one name, and this has two: {self._name!r} and {name!r}; decorate the function once for each"
            )

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if self._name is None:
            raise TypeError("cachedmethod must be used in the body of a class, and not on a class method: this one has no name there")
        if instance is None:
            if self._of_class is None:
                self._of_class = _OfClass(self)
            return self._of_class
        found = next((vars(of)[self._name] for of in type(instance).__mro__ if self._name in vars(of)), None)
        place: Any = self._name
        try:
            where = instance.__dict__
            if found is not self:
                where, place = where.setdefault(_OVERRIDDEN, {}), self
            bound = where.get(place)
            if bound is None:
                # Of two threads, one is right.
                bound = where.setdefault(place, self._kind(instance, self, self.method, *self._of_instance))
        except AttributeError:
            if hasattr(instance, "__dict__"):
                raise
            what = f"No '__dict__' attribute on {type(instance).__name__!r} instance"
            raise TypeError(f"{what} to cache {self._name!r} in: add '__dict__' to __slots__") from None
        except TypeError:
            if type(instance.__dict__) is dict:
                raise
            what = f"The '__dict__' attribute on {type(instance).__name__!r} instance does not support item assignment"
            raise TypeError(f"{what} for caching {self._name!r}") from None
        return bound

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("cachedmethod is for methods of instances: class methods are not supported, use cached for those")

    # By place, so that what is in the __dict__ of an instance can be pickled and copied with it.
    def __reduce__(self) -> tuple[Any, ...]:
        return _of, (self._owner, self._name)

    def __deepcopy__(self, memo: Any) -> MethodWithCache:
        return self


def _of(owner: type, name: str) -> Any:
    return vars(owner)[name]


class _Bound(Calls):
    """What is called: the method of one instance."""

    def __init__(
        self,
        instance: Any,
        descriptor: MethodWithCache,
        method: Callable[..., Any],
        cache: Callable[[Any], Any],
        key: Callable[..., Any],
        lock: Callable[[Any], Any] | None,
        condition: Callable[[Any], Any] | None,
    ) -> None:
        functools.update_wrapper(self, method)
        super().__init__(functools.partial(method, instance))
        self._instance = instance
        self._descriptor = descriptor
        self._which = (cache, lock, condition)
        self.cache_key = functools.partial(key, instance)

    @property
    def cache(self) -> Any:
        return self._which[0](self._instance)

    @property
    def cache_lock(self) -> Any:
        lock = self._which[1]
        return None if lock is None else lock(self._instance)

    @property
    def cache_condition(self) -> Any:
        condition = self._which[2]
        return None if condition is None else condition(self._instance)

    # Made anew from the class: the counts begin at 0.
    def __reduce__(self) -> tuple[Any, ...]:
        return self._descriptor.__get__, (self._instance,)

    def __repr__(self) -> str:
        return f"<cachedmethod {self._descriptor.method!r} of {object.__repr__(self._instance)}>"


class _CountedBound(_Bound, Counted):
    pass


class _OfClass:
    """What the class gives: the method of whatever instance it is called with."""

    def __init__(self, descriptor: MethodWithCache) -> None:
        functools.update_wrapper(self, descriptor.method)
        self._descriptor = descriptor

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else self._descriptor.__get__(instance)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if args:
            instance, *rest = args
        else:
            instance, rest = self._by_name(kwargs), []
        return self._descriptor.__get__(instance)(*rest, **kwargs)

    def _by_name(self, kwargs: dict[str, Any]) -> Any:
        try:
            first = next(iter(inspect.signature(self._descriptor.method).parameters.values()), None)
        except ValueError:
            first = None
        if first is None or first.kind is not first.POSITIONAL_OR_KEYWORD or first.name not in kwargs:
            raise TypeError(f"{self._descriptor.method.__qualname__}() was called through the class, and needs an instance")
        return kwargs.pop(first.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._descriptor.__get__, (None,)

    def __repr__(self) -> str:
        return f"<cachedmethod {self._descriptor.method!r}>"
