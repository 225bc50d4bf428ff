import JSONRPC

extension MethodExamples {
    /// The part of the conversation that is of bare SMMUs, and of the end of a session.
    static let models: [MethodExample] = [
        .init(
            "vsmmu.create", "For a VMM or firmware to program",
            #"{"idr":{"IDR5":"0x70474"}}"#,
            #"{"vsmmu":1}"#),
        .init(
            "vsmmu.memory", "The guest's RAM",
            #"{"vsmmu":1,"memory":2,"offset":0,"length":"0x10000","gpa":"0x80000000"}"#,
            #"{}"#),
        .init(
            "vsmmu.mmio_write", "CR0: queues on, translation off",
            #"{"vsmmu":1,"offset":32,"size":4,"value":0}"#,
            #"{}"#),
        .init(
            "vsmmu.mmio_read", "CR0ACK",
            #"{"vsmmu":1,"offset":36,"size":4}"#,
            #"{"value":"0x0"}"#),
        .init(
            "vsmmu.mmio_read", "PMCG_CFGR: eight counters of 64 bits, which send MSIs",
            #"{"vsmmu":1,"page":"pmcg0","offset":"0xe00","size":4}"#,
            #"{"value":"0x603f07"}"#),
        .init(
            "vsmmu.set_irq", "Without an eventfd: none",
            #"{"vsmmu":1,"irq":"evtq","enable":false}"#,
            #"{}"#),
        .init(
            "vsmmu.translate", "While it is disabled",
            #"{"vsmmu":1,"stream_id":1,"iova":"0x1000"}"#,
            #"""
            {"pa":"0x1000","page_size":"0x0","attributes":{"memory":"0xff","shareability":"none","read":true,
            "write":true,"execute":true},"cached":false}
            """#),
        .init(
            "vsmmu.translate_many", "Two at once",
            #"""
            {"vsmmu":1,"requests":[{"stream_id":1,"iova":"0x1000"},{"stream_id":2,"iova":"0x2000",
            "access":"write"}]}
            """#,
            #"""
            {"results":[{"pa":"0x1000","page_size":"0x0","attributes":{"memory":"0xff","shareability":"none",
            "read":true,"write":true,"execute":true},"cached":false},{"pa":"0x2000","page_size":"0x0",
            "attributes":{"memory":"0xff","shareability":"none","read":true,"write":true,"execute":true},
            "cached":false}]}
            """#),
        .init(
            "vsmmu.stalls", "None waits",
            #"{"vsmmu":1}"#,
            #"{"stalls":[]}"#),
        .init(
            "vsmmu.page_request", "While it is disabled",
            #"{"vsmmu":1,"stream_id":1,"iova":"0x1000","group":1}"#,
            #"{"outcome":"answered","code":"failure"}"#),
        .init(
            "vsmmu.tlbi", "Everything",
            #"{"vsmmu":1}"#,
            #"{"heard":false}"#),
        .init(
            "vsmmu.save", "Before the guest moves",
            #"{"vsmmu":1,"memory":1,"offset":0}"#,
            #"{"length":576}"#),
        .init(
            "vsmmu.load", "Where it has moved to",
            #"{"vsmmu":1,"memory":1,"offset":0}"#,
            #"{"length":576}"#),
        .init(
            "vsmmu.ring_open", "For translations at the rate of devices",
            #"{"vsmmu":1,"entries":64}"#,
            #"{"entries":64,"length":16384,"fds":3}"#),
        .init(
            "vsmmu.ring_close", "No longer",
            #"{"vsmmu":1}"#,
            #"{}"#),
        .init(
            "vsmmu.reset", "A reboot",
            #"{"vsmmu":1}"#,
            #"{}"#),
        .init(
            "vsmmu.unmap_memory", "No RAM there",
            #"{"vsmmu":1,"gpa":"0x80000000"}"#,
            #"{}"#),
        .init(
            "vsmmu.destroy", "Gone",
            #"{"vsmmu":1}"#,
            #"{}"#),
        .init(
            "session.objects", "All that is in the session",
            #"{}"#,
            #"""
            {"objects":[{"kind":"ioas","id":1,"users":1,"refers_to":[],"mappings":2,"huge_pages":true,
            "alignment":"0x1000"}]}
            """#),
        .init(
            "session.list", "One's own",
            #"{}"#,
            #"""
            {"sessions":[{"name":"vm1","owner_uid":0,"owner_pid":4711,"connections":1,"objects":12,
            "mapped_bytes":12288}]}
            """#),
        .init(
            "device.unbind", "Give the device back",
            #"{"device":9}"#,
            #"{}"#),
        .init(
            "memory.create", "A memory object that nothing uses",
            #"{"size":4096}"#,
            #"{"memory":3}"#),
        .init(
            "memory.close", "Gone",
            #"{"memory":3}"#,
            #"{}"#),
        .init(
            "session.close", "With all that is in it",
            #"{"name":"vm1"}"#,
            #"{}"#),
        .init(
            "state.discard", "What was stored cannot be read, and is not wanted",
            #"{}"#,
            #"{}"#),
        .init(
            "rpc.discover", "All that can be called",
            #"{}"#,
            #"{"openrpc":"1.3.2","info":{"title":"iommud","version":"0.1.0"},"methods":[]}"#),
        .init(
            "device.export", "The bound node of a device",
            #"{"device":1}"#,
            #"{"fds":1}"#),
        .init(
            "fd.export", "An iommufd and the node of a device",
            #"{"names":["0000:01:00.0"]}"#,
            #"{"fds":2}"#),
        .init(
            "fd.offer", "An iommufd for the launcher of a pod",
            #"{"names":["0000:01:00.0"],"format":"kubevirt"}"#,
            #"{"path":"/run/iommud-offers/5b9138da964c46d79106ce9675e7f9bb"}"#),
    ]
}
