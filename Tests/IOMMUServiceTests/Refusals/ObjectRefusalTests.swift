import IOMMU
import Testing

/// What methods of memory objects, address spaces and devices refuse, as scripts over the laboratory.
@Suite struct ObjectRefusalTests {
    @Test func memory() throws {
        try ServiceBench().run(
            """
            memory.create {"size":65536}
            > memory.create {"size":0} EINVAL zero_length
            > memory.create {"size":4096,"huge":true} EINVAL bad_size
            > memory.create {"size":"0x40000000001"} EFBIG memory_too_large
            > memory.export {"memory":9} ENOENT unknown_memory
            > memory.close {"memory":9} ENOENT unknown_memory
            > memory.read {"memory":9,"length":1} ENOENT unknown_memory
            > memory.write {"memory":9,"data":"AAAA"} ENOENT unknown_memory
            > memory.read {"memory":1,"length":1048576} EMSGSIZE transfer_too_large
            > memory.read {"memory":1,"offset":65535,"length":2} EINVAL outside_memory
            > memory.write {"memory":1,"offset":65535,"data":"AAAA"} EINVAL outside_memory
            ioas.alloc {}
            ioas.map {"ioas":1,"memory":1,"length":4096}
            > memory.close {"memory":1} EBUSY memory_mapped
            """)
    }

    @Test func mappings() throws {
        let script = """
            ioas.alloc {}
            memory.create {"size":65536}
            ioas.map {"ioas":1,"memory":1,"length":8192,"iova":"0x10000","access":["read"]}
            > ioas.map {"ioas":9,"memory":1,"length":1} ENOENT unknown_ioas
            > ioas.map {"ioas":1,"memory":9,"length":1} ENOENT unknown_memory
            > ioas.map {"ioas":1,"memory":1,"length":1,"access":[]} EINVAL no_access
            > ioas.map {"ioas":1,"memory":1,"length":0} EINVAL zero_length
            > ioas.map {"ioas":1,"memory":1,"length":4096,"iova":"0xfffffffffffff800"} EOVERFLOW iova_overflow
            > ioas.map {"ioas":1,"memory":1,"length":4096,"offset":65536} EINVAL outside_memory
            > ioas.map {"ioas":1,"memory":1,"length":4096,"iova":"0x11000"} EEXIST already_mapped
            > ioas.map_many {"ioas":9,"mappings":[]} ENOENT unknown_ioas
            > ioas.map_many {"ioas":1,"mappings":[{"memory":9,"length":1}]} ENOENT unknown_memory
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":1,"access":[]}]} EINVAL no_access
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":0}]} EINVAL zero_length
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096, \
                "iova":"0xfffffffffffff800"}]} EOVERFLOW iova_overflow
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096,"offset":65536}]} EINVAL outside_memory
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096,"iova":"0x11000"}]} EEXIST already_mapped
            > ioas.copy {"src_ioas":9,"src_iova":0,"length":1,"dst_ioas":1} ENOENT unknown_ioas
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":4096,"dst_ioas":1,"access":[]} EINVAL no_access
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":0,"dst_ioas":1} EINVAL zero_length
            > ioas.copy {"src_ioas":1,"src_iova":"0xfffffffffffff800","length":4096, \
                "dst_ioas":1} EOVERFLOW iova_overflow
            > ioas.copy {"src_ioas":1,"src_iova":"0x20000","length":4096,"dst_ioas":1, \
                "access":["read"]} ENOENT not_mapped
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":4096,"dst_ioas":1} EPERM copy_adds_write
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":4096,"dst_ioas":1, \
                "dst_iova":"0x11000","access":["read"]} EEXIST already_mapped
            > ioas.unmap {"ioas":9,"iova":0,"length":1} ENOENT unknown_ioas
            > ioas.unmap {"ioas":1,"iova":0,"length":0} EINVAL zero_length
            > ioas.unmap {"ioas":1,"iova":"0xfffffffffffff000","length":8192} EOVERFLOW iova_overflow
            > ioas.unmap {"ioas":1,"iova":"0x30000","length":4096} ENOENT not_mapped
            > ioas.unmap {"ioas":1,"iova":"0x10000","length":4096} ENOENT would_split_mapping
            > ioas.iova_ranges {"ioas":9} ENOENT unknown_ioas
            > ioas.mappings {"ioas":9} ENOENT unknown_ioas
            > ioas.get_option {"ioas":9} ENOENT unknown_ioas
            > ioas.set_option {"ioas":9,"huge_pages":true} ENOENT unknown_ioas
            > ioas.allow_iovas {"ioas":9,"ranges":[]} ENOENT unknown_ioas
            > ioas.allow_iovas {"ioas":1,"ranges":[{"start":2,"last":1}]} EINVAL bad_range
            > ioas.allow_iovas {"ioas":1,"ranges":[{"start":0,"last":4095},{"start":4095, \
                "last":8191}]} EINVAL bad_allowed_ranges
            """
        try ServiceBench().run(script)
        try ServiceBench().run(
            """
            ioas.alloc {}
            memory.create {"size":65536}
            device.bind {"name":"0000:04:00.0"}
            device.attach {"device":2,"pt":1}
            > ioas.map {"ioas":1,"memory":1,"length":100} EINVAL misaligned
            > ioas.map {"ioas":1,"memory":1,"length":4096,"iova":"0x40000000"} EINVAL iova_reserved
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":100}]} EINVAL misaligned
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096,"iova":"0x40000000"}]} EINVAL iova_reserved
            ioas.map {"ioas":1,"memory":1,"length":8192,"iova":"0x10000"}
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":8192,"dst_ioas":1, \
                "dst_iova":"0x40000000"} EINVAL iova_reserved
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":8192,"dst_ioas":1, \
                "dst_iova":"0x20800"} EINVAL misaligned
            > ioas.allow_iovas {"ioas":1,"ranges":[{"start":"0x40000000", \
                "last":"0x40000fff"}]} EADDRINUSE allowed_range_reserved
            > ioas.set_option {"ioas":1,"huge_pages":false} EINVAL already_mapped
            ioas.allow_iovas {"ioas":1,"ranges":[{"start":"0x10000","last":"0x11fff"}]}
            > ioas.map {"ioas":1,"memory":1,"length":4096} ENOSPC no_free_iova
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096}]} ENOSPC no_free_iova
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":8192,"dst_ioas":1} ENOSPC no_free_iova
            ioas.alloc {}
            ioas.map {"ioas":4,"memory":1,"length":100,"iova":"0x100"}
            > ioas.set_option {"ioas":4,"huge_pages":false} EADDRINUSE mapping_misaligned
            """)
    }

    @Test func limits() throws {
        let full = try ServiceBench { $0.limits.objectsPerSession = 3 }
        try full.run(
            """
            ioas.alloc {}
            device.bind {"name":"0000:01:00.0"}
            fault.alloc {}
            > ioas.alloc {} EDQUOT quota_exceeded
            > fault.alloc {} EDQUOT quota_exceeded
            > memory.create {"size":4096} EDQUOT quota_exceeded
            > device.bind {"name":"0000:03:00.0"} EDQUOT quota_exceeded
            > device.attach {"device":2,"pt":1} EDQUOT quota_exceeded
            > hwpt.alloc {"device":2,"pt":1} EDQUOT quota_exceeded
            > mm.create {} EDQUOT quota_exceeded
            > vsmmu.create {} EDQUOT quota_exceeded
            """)
        try ServiceBench { $0.limits.objectsPerSession = 4 }.run(
            """
            ioas.alloc {}
            device.bind {"name":"0000:01:00.0"}
            hwpt.alloc {"device":2,"pt":1,"flags":["nest_parent"]}
            viommu.alloc {"device":2,"hwpt":3,"type":"arm_smmuv3"}
            > viommu.alloc {"device":2,"hwpt":3,"type":"arm_smmuv3"} EDQUOT quota_exceeded
            > vdevice.alloc {"viommu":4,"device":2,"virt_id":1} EDQUOT quota_exceeded
            > veventq.alloc {"viommu":4,"type":"arm_smmuv3","depth":8} EDQUOT quota_exceeded
            """)
        try ServiceBench { $0.limits.objectsPerSession = 4 }.run(
            """
            ioas.alloc {}
            ioas.alloc {}
            device.bind {"name":"0000:01:00.0"}
            device.attach {"device":3,"pt":1}
            > device.replace {"device":3,"pt":2} EDQUOT quota_exceeded
            """)
        try ServiceBench { $0.limits.mappingsPerSession = 1 }.run(
            """
            ioas.alloc {}
            memory.create {"size":65536}
            ioas.map {"ioas":1,"memory":1,"length":4096,"iova":"0x10000"}
            > ioas.map {"ioas":1,"memory":1,"length":4096} EDQUOT quota_exceeded
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096}]} EDQUOT quota_exceeded
            > ioas.copy {"src_ioas":1,"src_iova":"0x10000","length":4096,"dst_ioas":1} EDQUOT quota_exceeded
            mm.create {}
            mm.map {"mm":1,"va":"0x10000","memory":1,"length":12288}
            > mm.map {"mm":1,"va":"0x20000","memory":1,"length":4096} EDQUOT quota_exceeded
            > mm.unmap {"mm":1,"va":"0x11000","length":4096} EDQUOT quota_exceeded
            vsmmu.create {}
            vsmmu.memory {"vsmmu":1,"memory":1,"length":4096,"gpa":0}
            > vsmmu.memory {"vsmmu":1,"memory":1,"length":4096,"gpa":4096} EDQUOT quota_exceeded
            """)
        try ServiceBench { $0.limits.sessions = 1 }.run(
            """
            session.attach {"name":"a"}
            > session.attach {"name":"b"} EDQUOT too_many_sessions
            """)
    }

    @Test func sessions() throws {
        let bench = try ServiceBench()
        try bench.run(
            """
            > session.attach {"name":"a b"} EINVAL bad_session_name
            > session.attach {"name":"nobody","create":false} ENOENT no_such_session
            > session.close {"name":"nobody"} ENOENT no_such_session
            > session.close {"name":"a b"} EINVAL bad_session_name
            > object.destroy {"id":9} ENOENT unknown_object
            device.bind {"name":"0000:01:00.0"}
            > object.destroy {"id":1} EBUSY device_bound
            > session.attach {"name":"x"} EBUSY session_not_empty
            ioas.alloc {}
            hwpt.alloc {"device":1,"pt":2}
            > object.destroy {"id":2} EBUSY object_in_use
            """)
        try bench.run(
            """
            > session.close {"name":"x","owner_uid":1} EPERM not_allowed
            > device.add {"name":"n","smmu":"smmu0","stream_ids":[9]} EPERM not_allowed
            > device.remove {"name":"n"} EPERM not_allowed
            > smmu.registers {"smmu":"smmu1"} EPERM not_allowed
            > smmu.cache {"smmu":"smmu1"} EPERM not_allowed
            > smmu.ste {"smmu":"smmu0","stream_id":256} EPERM not_allowed
            > smmu.cd {"smmu":"smmu0","stream_id":256} EPERM not_allowed
            > smmu.translate {"smmu":"smmu0","stream_id":256,"iova":0} EPERM not_allowed
            > events.subscribe {"all":true} EPERM not_allowed
            """, on: try bench.connect(uid: 54_321))
    }

    @Test func devices() throws {
        var topology = TopologyDescription.laboratory
        var plain = SMMUDescription(name: "plain")
        (plain.stage2, plain.substreamIDBits, plain.hardwareDirty) = (false, 0, false)
        (plain.stall, plain.pri, plain.ats) = (false, false, false)
        topology.smmus.append(plain)
        topology.devices.append(DeviceDescription(name: "plain", smmu: "plain", streamIDs: [1]))
        var loud = DeviceDescription(name: "incoherent", smmu: "smmu0", streamIDs: [0x700])
        loud.coherent = false
        topology.devices.append(loud)
        topology.devices.append(DeviceDescription(name: "double", smmu: "smmu0", streamIDs: [0x800, 0x801]))
        let bench = try ServiceBench(topology: topology)
        let other = try bench.connect()
        try bench.run(#"device.bind {"name":"0000:02:00.1"}"#, on: other)
        try bench.run(
            """
            > device.bind {"name":"nobody"} ENODEV unknown_device
            > device.explain {"name":"nobody"} ENODEV unknown_device
            > device.bind {"name":"0000:02:00.0"} EBUSY group_owned_elsewhere
            > device.bind {"name":"incoherent"} EINVAL not_cache_coherent
            device.bind {"name":"0000:01:00.0"}
            > device.bind {"name":"0000:01:00.0"} EBUSY already_bound
            > device.unbind {"device":9} ENOENT unknown_device
            > device.hw_info {"device":9} ENOENT unknown_device
            > device.detach {"device":9} ENOENT unknown_device
            > device.detach {"device":1,"pasid":0} EINVAL bad_pasid
            ioas.alloc {}
            memory.create {"size":65536}
            fault.alloc {}
            device.bind {"name":"0001:01:00.0"}
            hwpt.alloc {"device":4,"pt":2}
            device.bind {"name":"0000:04:00.0"}
            > device.detach {"device":6,"pasid":1} EOPNOTSUPP no_pasid
            > device.attach {"device":9,"pt":2} ENOENT unknown_device
            > device.attach {"device":6,"pt":2,"pasid":1} EOPNOTSUPP no_pasid
            > device.attach {"device":1,"pt":2,"pasid":4096} EINVAL bad_pasid
            > device.attach {"device":1,"pt":99} ENOENT unknown_pt
            > device.attach {"device":1,"pt":3} EINVAL wrong_kind
            > device.attach {"device":1,"pt":5} EINVAL other_smmu
            > device.attach {"device":1,"pt":2,"pasid":1} EINVAL not_pasid_compatible
            > device.replace {"device":9,"pt":2} ENOENT unknown_device
            > device.replace {"device":1,"pt":2} EINVAL not_attached
            > device.replace {"device":6,"pt":2,"pasid":1} EOPNOTSUPP no_pasid
            > device.replace {"device":1,"pt":2,"pasid":4096} EINVAL bad_pasid
            device.attach {"device":1,"pt":2}
            > device.attach {"device":1,"pt":2} EBUSY already_attached
            > device.replace {"device":1,"pt":99} ENOENT unknown_pt
            > device.replace {"device":1,"pt":3} EINVAL wrong_kind
            > device.replace {"device":1,"pt":5} EINVAL other_smmu
            device.bind {"name":"plain"}
            > hwpt.alloc {"device":8,"pt":2,"flags":["nest_parent"]} EOPNOTSUPP no_nesting
            > hwpt.alloc {"device":8,"pt":2,"flags":["dirty_tracking"]} EOPNOTSUPP no_dirty_tracking
            > hwpt.alloc {"device":8,"pt":2,"flags":["pasid"]} EOPNOTSUPP no_pasid
            > viommu.alloc {"device":8,"hwpt":5,"type":"arm_smmuv3"} EOPNOTSUPP no_nesting
            > hwpt.alloc {"device":99,"pt":2} ENOENT unknown_device
            > hwpt.alloc {"device":1,"pt":99} EINVAL unknown_pt
            > hwpt.alloc {"device":1,"pt":3} EINVAL wrong_kind
            > hwpt.alloc {"device":1,"pt":2,"fault":99} ENOENT unknown_fault
            > hwpt.alloc {"device":1,"pt":5} EOPNOTSUPP nest_through_viommu
            > hwpt.alloc {"device":1,"pt":2,"data":{"type":"arm_smmuv3","ste":[0,0]}} EOPNOTSUPP data_without_viommu
            > hwpt.alloc {"device":1,"pt":2,"data":{"type":"intel","ste":[0,0]}} EINVAL unknown_data_type
            > hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent","pasid"]} EOPNOTSUPP flags_unsupported
            > hwpt.set_dirty_tracking {"hwpt":99,"enable":true} ENOENT unknown_hwpt
            > hwpt.set_dirty_tracking {"hwpt":5,"enable":true} EOPNOTSUPP no_dirty_tracking
            > hwpt.get_dirty_bitmap {"hwpt":99,"iova":0,"length":4096,"page_size":4096} ENOENT unknown_hwpt
            > hwpt.get_dirty_bitmap {"hwpt":5,"iova":0,"length":4096,"page_size":4096} EOPNOTSUPP no_dirty_tracking
            > fault.read {"fault":99} ENOENT unknown_fault
            > fault.respond {"fault":99,"responses":[]} ENOENT unknown_fault
            > fault.respond {"fault":3,"responses":[{"cookie":7,"code":"success"}]} EINVAL unknown_cookie
            """)
        try bench.run(
            """
            device.bind {"name":"double"}
            ioas.alloc {}
            hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
            viommu.alloc {"device":1,"hwpt":3,"type":"arm_smmuv3"}
            > vdevice.alloc {"viommu":4,"device":1,"virt_id":1} EOPNOTSUPP several_streams
            > vdevice.alloc {"viommu":99,"device":1,"virt_id":1} ENOENT unknown_viommu
            > vdevice.alloc {"viommu":4,"device":99,"virt_id":1} ENOENT unknown_device
            device.bind {"name":"0000:03:00.0"}
            > vdevice.alloc {"viommu":4,"device":5,"virt_id":"0x100000000"} EINVAL bad_virtual_id
            vdevice.alloc {"viommu":4,"device":5,"virt_id":1}
            > vdevice.alloc {"viommu":4,"device":5,"virt_id":2} EEXIST vdevice_exists
            device.bind {"name":"0000:05:00.0"}
            > vdevice.alloc {"viommu":4,"device":7,"virt_id":1} EEXIST virtual_id_taken
            > viommu.alloc {"device":99,"hwpt":3,"type":"arm_smmuv3"} ENOENT unknown_device
            > viommu.alloc {"device":1,"hwpt":99,"type":"arm_smmuv3"} ENOENT unknown_hwpt
            > viommu.alloc {"device":1,"hwpt":3,"type":"intel"} EOPNOTSUPP wrong_type
            hwpt.alloc {"device":1,"pt":2}
            > viommu.alloc {"device":1,"hwpt":8,"type":"arm_smmuv3"} EINVAL not_a_nest_parent
            > veventq.alloc {"viommu":99,"type":"arm_smmuv3","depth":8} ENOENT unknown_viommu
            > veventq.alloc {"viommu":4,"type":"arm_smmuv3","depth":0} EINVAL bad_depth
            > veventq.alloc {"viommu":4,"type":"intel","depth":8} EOPNOTSUPP wrong_type
            veventq.alloc {"viommu":4,"type":"arm_smmuv3","depth":8}
            > veventq.alloc {"viommu":4,"type":"arm_smmuv3","depth":8} EEXIST veventq_exists
            > veventq.read {"veventq":99} ENOENT unknown_veventq
            > hwpt.alloc {"device":5,"pt":4,"flags":["pasid"],"data":{"type":"arm_smmuv3","ste":[1, \
                0]}} EOPNOTSUPP flags_unsupported
            > hwpt.alloc {"device":5,"pt":4} EOPNOTSUPP data_required
            > hwpt.alloc {"device":5,"pt":4,"data":{"type":"arm_smmuv3","ste":["0xffffffffffffffff", \
                0]}} EIO illegal_vste
            > hwpt.invalidate {"target":99,"type":"arm_smmuv3","entries":[]} ENOENT unknown_pt
            > hwpt.invalidate {"target":2,"type":"arm_smmuv3","entries":[]} EINVAL wrong_kind
            > hwpt.invalidate {"target":4,"type":"intel","entries":[]} EINVAL wrong_type
            > hwpt.invalidate {"target":4,"type":"arm_smmuv3","entries":[["0xff",0]]} EIO bad_command
            > hwpt.invalidate {"target":4,"type":"arm_smmuv3","entries":[["0x6300000005",0]]} EIO unknown_virtual_id
            device.bind {"name":"0001:01:00.0"}
            > vdevice.alloc {"viommu":4,"device":10,"virt_id":9} EINVAL other_smmu
            > viommu.alloc {"device":10,"hwpt":3,"type":"arm_smmuv3"} EINVAL other_smmu
            > hwpt.alloc {"device":10,"pt":4,"data":{"type":"arm_smmuv3","ste":[1,0]}} EINVAL other_smmu
            hwpt.alloc {"device":5,"pt":4,"data":{"type":"arm_smmuv3","ste":[1,0]}}
            > hwpt.invalidate {"target":11,"type":"arm_smmuv3","entries":[]} EOPNOTSUPP invalidate_through_viommu
            """)
    }
}
