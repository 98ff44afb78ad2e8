"""Which workers a run has: by hand, from TF_CONFIG, as srun sets its variables, and in a Kubernetes Indexed Job."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from worker_processes import free_addresses

from ass_tf.system import cluster
from ass_tf.system.cluster import Cluster, ClusterError

SLURM = {  # of the second task of: srun --nodes=3 --ntasks=5, on two machines with two tasks and one with one
    "SLURM_JOB_ID": "20007",
    "SLURM_STEP_NODELIST": "gpu[01-02],login",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_PROCID": "1",
    "SLURM_DISTRIBUTION": "block",
}
POD = {
    "JOB_COMPLETION_INDEX": "1",
    "JOB_COMPLETIONS": "3",
    "JOB_SERVICE": "streets.ml.svc",
    "HOSTNAME": "train-csa-1",
}


def tf_config(kind="worker", index=0, **jobs):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


def find(environ=None, **options):
    return cluster.find(**options, environ=environ or {})


def test_workers_by_hand():
    assert find(workers="a:1,b:2", worker=1) == Cluster(("a:1", "b:2"), 1)
    assert find({**tf_config(worker=["x:1", "y:1"])}, workers="a:1,b:2", worker=0).addresses == ("a:1", "b:2")


@pytest.mark.parametrize(
    "environ", [{}, {"TF_CONFIG": ""}, tf_config(worker=["a:1"]), tf_config("chief", chief=["a:1"])]
)
def test_single_process_is_no_cluster(environ):
    assert find(environ) is None


def test_tf_config_may_have_a_chief():
    both = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    assert find(tf_config("worker", 1, **both)) == Cluster(("a:1", "b:1", "c:1"), 2)
    assert find(tf_config("chief", 0, **both)).index == 0
    assert find(tf_config("worker", 1, worker=["b:1", "c:1"])) == Cluster(("b:1", "c:1"), 1)


def test_what_tensorflow_is_given_names_the_same_worker():
    given = {"TF_CONFIG": Cluster(("a:1", "b:2"), 1).to_tf_config()}
    assert find(given) == Cluster(("a:1", "b:2"), 1)


def test_slurm():
    found = find(SLURM, kind="slurm")
    assert [address.partition(":")[0] for address in found.addresses] == ["gpu01", "gpu01", "gpu02", "gpu02", "login"]
    assert (len(set(found.addresses)), found.index) == (5, 1)
    assert found.addresses != find({**SLURM, "SLURM_JOB_ID": "20008"}, kind="slurm").addresses


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("n7", ["n7"]),
        ("a,b", ["a", "b"]),
        ("n[1-3,5]", ["n1", "n2", "n3", "n5"]),
        ("n[008-010]x", ["n008x", "n009x", "n010x"]),
        ("rack1-n[1,2],c-3", ["rack1-n1", "rack1-n2", "c-3"]),
    ],
)
def test_lists_of_nodes(text, nodes):
    assert cluster.nodes_of(text) == nodes


def test_pods_of_an_indexed_job():
    found = find(POD, kind="kubernetes")
    assert found.addresses[0] == f"train-csa-0.streets.ml.svc:{cluster.PORT}"
    assert (len(found.addresses), found.index) == (3, 1)
    assert find({**POD, "JOB_PORT": "99"}, kind="kubernetes").addresses[2] == "train-csa-2.streets.ml.svc:99"


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        ({"workers": "a:1,b:2"}, {}, "--workers and --worker must be given together"),
        ({"workers": "a:1,b:2", "worker": 2}, {}, r"--worker must be from 0 to 1\. Received: 2"),
        ({"workers": "a,b:2", "worker": 0}, {}, r"--workers must have HOST:PORT for each worker\. Received: a\."),
        ({"workers": "a:1,a:1", "worker": 0}, {}, "Received twice: a:1"),
        ({"workers": "a:1,b:70000", "worker": 0}, {}, "Received: b:70000"),
        ({"workers": "a:1,b:2", "worker": 0, "kind": "slurm"}, {}, "--cluster must be left out"),
        ({}, {"TF_CONFIG": "{"}, "TF_CONFIG must be like"),
        ({}, {"TF_CONFIG": "[]"}, "TF_CONFIG must be like"),
        ({}, {"TF_CONFIG": "[" * 100_000}, "TF_CONFIG must be like"),
        ({}, {"TF_CONFIG": '{"cluster":\n3}'}, r'Received: \{"cluster":\\n3\}'),
        ({}, tf_config("worker", float("inf"), worker=["a:1", "b:1"]), "TF_CONFIG must be like"),
        ({}, tf_config(["worker"], 0, worker=["a:1", "b:1"]), r"chiefs and workers only\. Received: \['worker'\]"),
        ({}, tf_config(3, 0, worker=["a:1"], ps=["b:1"]), r"chiefs and workers only\. Received: 3"),
        ({}, tf_config("worker", 2, worker=["a:1", "b:1"]), r"one of its cluster\. Received: worker 2"),
        ({}, tf_config("ps", 0, worker=["a:1"], ps=["b:1"]), r"chiefs and workers only\. Received: ps"),
        ({}, tf_config("chief", 0, chief=["a:1", "b:1"]), "at most one chief"),
        ({}, tf_config("worker", 0, worker=["a:1", 5]), "Received: 5"),
        ({"kind": "slurm"}, {}, "needs the variable SLURM_STEP_NODELIST"),
        ({"kind": "slurm"}, {**SLURM, "SLURM_STEP_NODELIST": "gpu[01-"}, "must be a list of nodes"),
        ({"kind": "slurm"}, {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "two"}, r"like 2\(x3\),1"),
        ({"kind": "slurm"}, {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2"}, "each of 3 nodes. Received: 1"),
        ({"kind": "slurm"}, {**SLURM, "SLURM_DISTRIBUTION": "cyclic"}, "--distribution=block"),
        ({"kind": "slurm"}, {**SLURM, "SLURM_PROCID": "5"}, "SLURM_PROCID must be from 0 to 4"),
        ({"kind": "kubernetes"}, {**POD, "JOB_COMPLETIONS": "x"}, "JOB_COMPLETIONS must be a whole number"),
        ({"kind": "kubernetes"}, {**POD, "HOSTNAME": "laptop"}, r"<job>-1, as in an Indexed Job\. Received: laptop"),
    ],
)
def test_what_names_no_cluster_is_one_line(options, environ, message):
    with pytest.raises(ClusterError, match=message) as error:
        find(environ, **options)
    assert "\n" not in str(error.value)


def test_workers_gather_in_any_order():
    addresses, all_there = tuple(free_addresses(3)), threading.Barrier(3)

    def begin(index):
        Cluster(addresses, index).gather()
        with socket.create_server(("127.0.0.1", int(addresses[index].rpartition(":")[2]))):  # as TensorFlow then does
            all_there.wait(60)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(begin, (2, 0, 1)))
    assert not all_there.broken


def test_missing_workers_are_named_and_given_up(monkeypatch, capsys):
    monkeypatch.setattr(cluster, "NOTE", 0.1)
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    first, second, third = free_addresses(3)
    with (
        socket.create_server(("127.0.0.1", int(second.rpartition(":")[2]))),
        pytest.raises(cluster.Missing, match=rf"^worker 2 \({third}\): not there after 0.5 seconds\.$"),
    ):
        Cluster((first, second, third), 0).gather()
    assert capsys.readouterr().out == f"worker 0 ({first}): waiting for worker 2 ({third}).\n"


def test_port_that_is_taken_is_named():
    address, other = free_addresses(2)
    port = int(address.rpartition(":")[2])
    with socket.create_server(("", port)), pytest.raises(ClusterError, match=f"port {port} cannot be used here: Addr"):
        Cluster((address, other), 0).gather()
