from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.core.stamps import nanoseconds, stamp_ns, time_fields


@given(st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1))
def test_times_are_exact_and_their_nanoseconds_never_negative(time_ns):
    time = SimpleNamespace(**time_fields(time_ns))
    assert 0 <= time.nanosec < 10**9
    assert nanoseconds(time) == time_ns
    assert stamp_ns(SimpleNamespace(header=SimpleNamespace(stamp=time))) == time_ns
