import IOMMU
import IOMMUService
import Testing

/// What attaching and hardware page tables refuse because of what is there already.
@Suite struct AttachmentRefusalTests {
    @Test func collisions() throws {
        for (setup, reason) in [
            (#"ioas.map {"ioas":2,"memory":1,"length":100,"iova":"0x100"}"#, "mapping_misaligned"),
            (
                #"ioas.allow_iovas {"ioas":2,"ranges":[{"start":0,"last":"0xffffffffffffff"}]}"#,
                "allowed_range_narrowed"
            ),
            (#"ioas.map {"ioas":2,"memory":1,"length":4096,"iova":"0x10000000000000"}"#, "mapping_in_reserved_region"),
        ] {
            try ServiceBench().run(
                """
                device.bind {"name":"0000:01:00.0"}
                ioas.alloc {}
                ioas.alloc {}
                memory.create {"size":65536}
                \(setup)
                > hwpt.alloc {"device":1,"pt":2} EADDRINUSE \(reason)
                > device.attach {"device":1,"pt":2} EADDRINUSE \(reason)
                device.attach {"device":1,"pt":3}
                > device.replace {"device":1,"pt":2} EADDRINUSE \(reason)
                """)
        }
    }

    @Test func pasids() throws {
        try ServiceBench().run(
            """
            device.bind {"name":"0000:01:00.0"}
            ioas.alloc {}
            device.attach {"device":1,"pt":2}
            hwpt.alloc {"device":1,"pt":2,"flags":["pasid"]}
            > device.attach {"device":1,"pt":4,"pasid":1} EINVAL rid_not_pasid_compatible
            device.replace {"device":1,"pt":4}
            device.attach {"device":1,"pt":4,"pasid":1}
            > device.replace {"device":1,"pt":2} EINVAL not_pasid_compatible
            """)
    }

    @Test func virtualIDs() throws {
        try ServiceBench().run(
            """
            device.bind {"name":"0000:03:00.0"}
            ioas.alloc {}
            hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
            viommu.alloc {"device":1,"hwpt":3,"type":"arm_smmuv3"}
            hwpt.alloc {"device":1,"pt":4,"data":{"type":"arm_smmuv3","ste":["0x100b",0]}}
            > device.attach {"device":1,"pt":5} ENOENT vdevice_required
            device.attach {"device":1,"pt":2}
            > device.replace {"device":1,"pt":5} ENOENT vdevice_required
            """)
    }

    @Test func tagsRunOut() throws {
        var topology = TopologyDescription.laboratory
        for index in topology.smmus.indices {
            topology.smmus[index].asidBits = 8
            topology.smmus[index].vmidBits = 8
        }
        let tables = { (flags: String) in
            String(repeating: "hwpt.alloc {\"device\":1,\"pt\":2,\"flags\":[\(flags)]}\n", count: 254)
        }
        try ServiceBench(topology: topology).run(
            """
            device.bind {"name":"uacce0"}
            ioas.alloc {}
            device.attach {"device":1,"pt":2}
            ioas.alloc {}
            \(tables(#""pasid""#))
            mm.create {}
            > hwpt.alloc {"device":1,"pt":2} ENOSPC asid_exhausted
            > device.replace {"device":1,"pt":4} ENOSPC asid_exhausted
            device.detach {"device":1}
            hwpt.alloc {"device":1,"pt":2}
            > device.attach {"device":1,"pt":4} ENOSPC asid_exhausted
            > sva.bind {"device":1,"mm":1} ENOSPC asid_exhausted
            > queue.open {"device":1,"mm":1} ENOSPC asid_exhausted
            """)
        try ServiceBench(topology: topology).run(
            """
            device.bind {"name":"uacce0"}
            ioas.alloc {}
            \(tables(#""nest_parent""#))
            > hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]} ENOSPC vmid_exhausted
            """)
    }

    @Test func tablesRunOut() throws {
        let bench = try ServiceBench { $0.backend.tableSpace = 8 << 20 }
        let client = try bench.connect()
        try bench.run(
            """
            device.bind {"name":"uacce0"}
            ioas.alloc {}
            memory.create {"size":65536}
            device.attach {"device":1,"pt":2}
            ioas.alloc {}
            ioas.map {"ioas":4,"memory":1,"length":4096,"iova":"0x10000"}
            mm.create {}
            mm.create {}
            sva.bind {"device":1,"mm":1}
            """, on: client)
        var refused = false
        // Each mapping in a table of its own.
        for index in 0..<4096 where !refused {
            let params = #"{"ioas":2,"memory":1,"length":4096,"iova":\#((index + 1) << 30)}"#
            refused = try client.answer("ioas.map", params)?["error"] != nil
        }
        try bench.run(
            """
            > ioas.map {"ioas":2,"memory":1,"length":4096,"iova":"0x700000000000"} ENOMEM no_table_memory
            > ioas.map_many {"ioas":2,"mappings":[{"memory":1,"length":4096,"iova":"0x700000000000"}]} \
                ENOMEM no_table_memory
            > ioas.copy {"src_ioas":4,"src_iova":"0x10000","length":4096,"dst_ioas":2,"dst_iova":"0x700000000000"} \
                ENOMEM no_table_memory
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096} ENOMEM no_table_memory
            > hwpt.alloc {"device":1,"pt":4} ENOMEM no_table_memory
            > device.replace {"device":1,"pt":4} ENOMEM no_table_memory
            > sva.bind {"device":1,"mm":2} ENOMEM no_table_memory
            > queue.open {"device":1,"mm":2} ENOMEM no_table_memory
            device.bind {"name":"0000:04:00.0"}
            > device.attach {"device":5,"pt":4} ENOMEM no_table_memory
            """, on: client)
    }

    @Test func dirtyState() throws {
        try ServiceBench().run(
            """
            device.bind {"name":"0000:01:00.0"}
            ioas.alloc {}
            memory.create {"size":65536}
            ioas.map {"ioas":2,"memory":1,"length":4096,"iova":"0x10000"}
            hwpt.alloc {"device":1,"pt":2,"flags":["dirty_tracking"]}
            > hwpt.get_dirty_bitmap {"hwpt":3,"iova":0,"length":4096,"page_size":5} EINVAL bad_page_size
            > hwpt.get_dirty_bitmap {"hwpt":3,"iova":0,"length":0,"page_size":4096} EINVAL misaligned
            > hwpt.get_dirty_bitmap {"hwpt":3,"iova":0,"length":4096,"page_size":4096} EINVAL not_mapped
            > hwpt.get_dirty_bitmap {"hwpt":3,"iova":"0xfffffffffffff000","length":8192,"page_size":4096} \
                EOVERFLOW iova_overflow
            > hwpt.get_dirty_bitmap {"hwpt":3,"iova":0,"length":"0x100000000000","page_size":4096} \
                EMSGSIZE transfer_too_large
            """)
    }

    @Test func policy() throws {
        let bench = try ServiceBench { $0.access = AccessPolicy(allowsByDefault: false) }
        try bench.run(
            """
            > device.bind {"name":"0000:01:00.0"} EPERM not_allowed
            > fd.export {"names":["0000:01:00.0"]} EPERM not_allowed
            """, on: try bench.connect(uid: 54_321))
        var topology = TopologyDescription.laboratory
        var held = DeviceDescription(name: "held", smmu: "smmu0", streamIDs: [0x900])
        held.reserved = [ReservedRegion(range: try #require(AddressRange(start: 0, last: 0xfff)), kind: .direct)]
        topology.devices.append(held)
        var still = DeviceDescription(name: "still", smmu: "smmu0", streamIDs: [0xa00])
        (still.pasidBits, still.queues) = (8, 1)
        topology.devices.append(still)
        try ServiceBench(topology: topology).run(
            """
            > device.bind {"name":"held"} EINVAL direct_region
            device.bind {"name":"still"}
            mm.create {}
            > queue.open {"device":1,"mm":1} ENODEV no_sva
            """)
    }
}
