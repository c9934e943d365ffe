"""System: what this process holds in memory, and how much it may."""

from __future__ import annotations

import streamlit as st

from convfe_core.backbones.precision import explain_precision
from convfe_core.inspection.doctor import Doctor, as_text
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.machine.memory import memory_limit_mb, resident_mb, used_mb
from pages.app.navigation import enter
from pages.app.process import backbone_pool
from pages.app.session import FINDINGS, MAPS
from pages.app.visitor import hosted

enter()

pool, store = backbone_pool(), MAPS.get()
held = pool.held()

st.title("System", anchor=False)
st.write("What the server holds in memory. Backbones are shared by all visitors; maps are yours alone.")

with st.grid(3):
    st.metric(
        "This process",
        f"{resident_mb():,.0f} MB",
        help=f"Resident memory; {resident_mb() - used_mb():,.0f} MB of it is kept to be used again. "
        "Importing TensorFlow alone takes about 500 MB.",
        border=True,
    )
    st.metric(
        "Backbones",
        f"{sum(one.megabytes for one in held):,.0f} of {pool.budget_mb:,.0f} MB",
        help=f"Half of the {memory_limit_mb():,.0f} MB that the machine or its container has, or that the setting "
        "CONVFE_MEMORY_MB allows. The least recently used one goes first.",
        border=True,
    )
    st.metric(
        "Your maps",
        f"{store.megabytes:.1f} of {store.budget_mb:.0f} MB",
        help="They are dropped with your session; the least recently used ones go first.",
        border=True,
    )

if held:
    st.dataframe(
        [
            {
                "Backbone": "a model of a visitor's own" if one.private and hosted() else one.label,
                "Layer": "" if one.private and hosted() else one.tap,
                "Arithmetic": explain_precision(one.precision),
                "Memory, MB": round(one.megabytes, 1),
            }
            for one in held
        ],
        hide_index=True,
        alt="Loaded backbones, the most recently used last",
        column_config={
            "Layer": st.column_config.TextColumn(
                help="The one that is looked at: auto is the last feature map; Depth and Inspect look at every layer."
            ),
            "Memory, MB": st.column_config.NumberColumn(help="How much more this process used once it was loaded."),
        },
    )
else:
    st.info("No backbone is loaded yet; Compare loads one when its maps have to be computed.", icon=":material/layers:")

st.caption(f"Backbones were loaded or run {MACHINE.passed:,} times since the server started.")

if not hosted():  # a visitor is told nothing of this machine
    st.subheader("This machine", anchor=False)
    if st.button("Examine it", key="examine", help="Looks at what the program finds here, and runs a small backbone."):
        with st.spinner("Looking, and running a small backbone"):
            FINDINGS.set(list(Doctor().findings()))
    if findings := FINDINGS.get():
        st.dataframe(
            [
                {"": "ok" if one.ok else "to do", "What": one.topic, "Found": one.found, "To do": one.advice}
                for one in findings
            ],
            hide_index=True,
            alt="What the program finds on this machine, each with ok or what to do",
        )
        with st.expander("The same as text, for a bug report"):
            st.code("\n".join(as_text(findings)), language=None)
