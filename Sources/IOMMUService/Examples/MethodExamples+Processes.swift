import JSONRPC

extension MethodExamples {
    /// The part of the conversation that is of address spaces of processes, and of hot plug.
    static let processes: [MethodExample] = [
        .init(
            "mm.create", "An address space without a process",
            #"{}"#,
            #"{"mm":1}"#),
        .init(
            "mm.map", "A memory object in it",
            #"{"mm":1,"va":"0x7f0000000000","memory":2,"length":"0x2000"}"#,
            #"{}"#),
        .init(
            "mm.open", "The process of this id",
            #"{"pid":4711}"#,
            #"{"mm":2}"#),
        .init(
            "ioas.map", "Pages of that process, as it has them",
            #"{"ioas":1,"mm":2,"va":"0x7f3c00000000","length":"0x2000","iova":"0x50000"}"#,
            #"{"iova":"0x50000"}"#),
        .init(
            "device.bind", "An accelerator",
            #"{"name":"uacce0"}"#,
            #"{"device":9,"group":6}"#),
        .init(
            "sva.bind", "Works on the pointers of a process",
            #"{"device":9,"mm":1}"#,
            #"{"bond":1,"pasid":1,"asid":1}"#),
        .init(
            "sva.list", "All bonds",
            #"{}"#,
            #"{"bonds":[{"bond":1,"device":9,"mm":1,"pasid":1,"asid":1,"users":1,"state":"live","btm":false}]}"#),
        .init(
            "sva.unbind", "Not any more",
            #"{"bond":1}"#,
            #"{"users":0}"#),
        .init(
            "queue.open", "With an address space of its own",
            #"{"device":9,"mm":1}"#,
            #"{"queue":1,"pasid":1,"state":"init"}"#),
        .init(
            "queue.start", "Ready",
            #"{"queue":1}"#,
            #"{"state":"started"}"#),
        .init(
            "queue.submit", "By pointer",
            #"{"queue":1,"op":"fill","dst":"0x7f0000000000","length":4096,"value":42}"#,
            #"{"completed":4096}"#),
        .init(
            "queue.stop", "No work is taken",
            #"{"queue":1}"#,
            #"{"state":"init"}"#),
        .init(
            "queue.close", "Gone",
            #"{"queue":1}"#,
            #"{"state":"init"}"#),
        .init(
            "cpu.tlbi", "One page",
            #"{"mm":1,"va":"0x7f0000000000","length":4096}"#,
            #"{}"#),
        .init(
            "mm.unmap", "A page less",
            #"{"mm":1,"va":"0x7f0000001000","length":4096}"#,
            #"{}"#),
        .init(
            "mm.exit", "As when its process ends",
            #"{"mm":1}"#,
            #"{}"#),
        .init(
            "mm.close", "Let go of it",
            #"{"mm":1}"#,
            #"{}"#),
        .init(
            "device.add", "A device more",
            #"{"name":"0000:09:00.0","smmu":"smmu0","stream_ids":[2304]}"#,
            #"{}"#),
        .init(
            "device.remove", "And gone",
            #"{"name":"0000:09:00.0"}"#,
            #"{}"#),
    ]
}
