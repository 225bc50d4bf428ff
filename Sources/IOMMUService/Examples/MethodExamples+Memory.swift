import JSONRPC

extension MethodExamples {
    /// The part of the conversation that is of the daemon, of memory and of mappings.
    static let memory: [MethodExample] = [
        .init(
            "session.attach", "Go on in a named session, or make it",
            #"{"name":"vm1"}"#,
            #"""
            {"session":{"name":"vm1","owner_uid":0,"objects":0,"durable":"none","generation":"0x5d3c0a91b2f47e68"}}
            """#),
        .init(
            "daemon.info", "What this daemon is",
            #"{}"#,
            #"""
            {"name":"iommud","version":"0.1.0","api":{"major":1,"minor":0},"backend":"emulated",
            "features":["nested","dirty_tracking"],"pid":4711,"connection":1,"uptime_seconds":0,
            "generation":"0x5d3c0a91b2f47e68","starts":1,"durable":"none",
            "systemd":{"notify":true,"journal":false,"socket_activated":false,"watchdog":false}}
            """#),
        .init(
            "daemon.stats", "How it is doing",
            #"{}"#,
            #"""
            {"counters":{"connections_accepted_total":1,"events_total":0,"events_lost_total":0},
            "gauges":{"connections":1,"sessions":1,"named_sessions":1},"requests":{"daemon.info":1,
            "daemon.stats":1,"session.attach":1},"errors":{"daemon.info":0,"daemon.stats":0,"session.attach":0},
            "turns":{"100":2,"250":0,"500":1},"longest_turn_microseconds":{"other":374},
            "pools":[{"pool":"descriptors","capacity":19936,"uid":0,"used":1}]}
            """#),
        .init(
            "topology.list", "The machine",
            #"{}"#,
            #"""
            {"groups":[{"id":1,"devices":["0000:01:00.0"],"viable":true}],"smmus":[{"name":"smmu0",
            "features":["stage1","stage2","nested","two_level_stream_table","two_level_context_table","stall",
            "pri","ats","dirty_tracking","range_invalidation","pasid"],"idr":["0x84d149b","0x2108410","0x0",
            "0x1514","0x0","0x1000014"]}],"devices":[{"name":"0000:01:00.0","smmu":"smmu0","stream_ids":[256],
            "group":1,"ats":true,"pri":true,"stall":false,"coherent":true,"pasid_bits":10,
            "reserved":[{"start":"0x8000000","last":"0x80fffff","type":"sw_msi"}]}],"uacce":[{"name":"uacce0",
            "api":"iommud_dma_v1","algorithms":["copy"],"queues_available":64}]}
            """#),
        .init(
            "device.explain", "Why a device can be bound",
            #"{"name":"0000:01:00.0"}"#,
            #"{"viable":true,"reasons":[],"group":1}"#),
        .init(
            "events.subscribe", "Be told of some kinds of events",
            #"{"kinds":["fault","device"]}"#,
            #"{}"#),
        .init(
            "events.unsubscribe", "Be told of nothing",
            #"{}"#,
            #"{}"#),
        .init(
            "memory.import", "A memfd goes along",
            #"{"name":"guest"}"#,
            #"{"memory":1,"size":"0x10000"}"#),
        .init(
            "memory.create", "64 KiB of the daemon's",
            #"{"size":65536}"#,
            #"{"memory":2}"#),
        .init(
            "memory.export", "Its descriptor comes along",
            #"{"memory":2}"#,
            #"{"fds":1}"#),
        .init(
            "memory.write", "Five bytes",
            #"{"memory":2,"offset":16,"data":"aGVsbG8="}"#,
            #"{"written":5}"#),
        .init(
            "memory.read", "The same five bytes",
            #"{"memory":2,"offset":16,"length":5}"#,
            #"{"data":"aGVsbG8="}"#),
        .init(
            "ioas.alloc", "An address space",
            #"{}"#,
            #"{"ioas":1}"#),
        .init(
            "ioas.map", "At a place of the client's choice",
            #"{"ioas":1,"memory":1,"length":"0x1000","iova":"0x10000","access":["read","write"]}"#,
            #"{"iova":"0x10000"}"#),
        .init(
            "ioas.map_many", "Two pages, both or none",
            #"""
            {"ioas":1,"mappings":[{"memory":2,"length":4096,"iova":"0x20000"},{"memory":2,"offset":4096,
            "length":4096,"iova":"0x30000","access":["read"]}]}
            """#,
            #"{"iovas":["0x20000","0x30000"]}"#),
        .init(
            "ioas.unmap", "One mapping",
            #"{"ioas":1,"iova":"0x30000","length":"0x1000"}"#,
            #"{"unmapped":"0x1000"}"#),
        .init(
            "ioas.alloc", "Another address space",
            #"{}"#,
            #"{"ioas":2}"#),
        .init(
            "ioas.copy", "The same memory at the same place",
            #"{"src_ioas":1,"src_iova":"0x10000","length":"0x1000","dst_ioas":2,"dst_iova":"0x10000"}"#,
            #"{"iova":"0x10000"}"#),
        .init(
            "ioas.allow_iovas", "Only below 128 MiB",
            #"{"ioas":2,"ranges":[{"start":0,"last":"0x7ffffff"}]}"#,
            #"{}"#),
        .init(
            "ioas.iova_ranges", "What may be mapped",
            #"{"ioas":2}"#,
            #"{"ranges":[{"start":"0x0","last":"0xffffffffffffffff"}],"alignment":1}"#),
        .init(
            "ioas.mappings", "The first mapping",
            #"{"ioas":1,"limit":1}"#,
            #"""
            {"mappings":[{"iova":"0x10000","length":"0x1000","memory":1,"offset":"0x0","access":["read",
            "write"]}],"next":"0x20000"}
            """#),
        .init(
            "ioas.set_option", "No blocks, so that dirty pages are told one by one",
            #"{"ioas":2,"huge_pages":false}"#,
            #"{"huge_pages":false}"#),
        .init(
            "ioas.get_option", "Whether it has blocks",
            #"{"ioas":2}"#,
            #"{"huge_pages":false}"#),
        .init(
            "ioas.check", "A layout that would do",
            #"{"devices":["0000:01:00.0"],"mappings":[{"iova":"0x40000000","length":"0x10000000"}]}"#,
            #"{"problems":[],"ok":true}"#),
    ]
}
