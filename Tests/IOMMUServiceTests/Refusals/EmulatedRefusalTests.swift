import IOMMU
import Testing

/// What methods of the emulated hardware refuse: shared address spaces, queues, inspection, bare SMMUs.
@Suite struct EmulatedRefusalTests {
    @Test func addressSpaces() throws {
        try ServiceBench().run(
            """
            mm.create {}
            memory.create {"size":65536}
            > mm.map {"mm":9,"va":0,"memory":1,"length":4096} ENOENT unknown_mm
            > mm.map {"mm":1,"va":0,"memory":9,"length":4096} ENOENT unknown_memory
            > mm.map {"mm":1,"va":1,"memory":1,"length":4096} EINVAL bad_range
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096,"offset":65536} EINVAL outside_memory
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096,"access":[]} EINVAL no_access
            mm.map {"mm":1,"va":0,"memory":1,"length":4096}
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096} EEXIST va_in_use
            > mm.unmap {"mm":9,"va":0,"length":4096} ENOENT unknown_mm
            > mm.unmap {"mm":1,"va":0,"length":1} EINVAL bad_range
            > mm.exit {"mm":9} ENOENT unknown_mm
            > mm.close {"mm":9} ENOENT unknown_mm
            > cpu.tlbi {"mm":9} ENOENT unknown_mm
            > cpu.tlbi {"mm":1,"va":0,"length":0} EINVAL bad_range
            > sva.bind {"device":9,"mm":1} ENOENT unknown_device
            > sva.unbind {"bond":9} ENOENT unknown_bond
            device.bind {"name":"0000:03:00.0"}
            > sva.bind {"device":1,"mm":9} ENOENT unknown_mm
            device.bind {"name":"0000:04:00.0"}
            > sva.bind {"device":2,"mm":1} ENODEV no_sva
            > queue.open {"device":2,"mm":1} ENODEV no_queues
            sva.bind {"device":1,"mm":1}
            > mm.close {"mm":1} EBUSY mm_bound
            mm.exit {"mm":1}
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096} ESRCH mm_exited
            > sva.bind {"device":1,"mm":1} ESRCH mm_exited
            """)
        try ServiceBench { $0.limits.bondsPerSession = 0 }.run(
            """
            mm.create {}
            device.bind {"name":"uacce0"}
            > sva.bind {"device":1,"mm":1} EDQUOT quota_exceeded
            > queue.open {"device":1,"mm":1} EDQUOT quota_exceeded
            """)
        try ServiceBench().run(
            """
            ioas.alloc {}
            device.bind {"name":"uacce0"}
            mm.create {}
            hwpt.alloc {"device":2,"pt":1,"flags":["nest_parent"]}
            device.attach {"device":2,"pt":3}
            > sva.bind {"device":2,"mm":1} EINVAL device_on_stage2
            > queue.open {"device":2,"mm":1} EINVAL device_on_stage2
            device.detach {"device":2}
            sva.bind {"device":2,"mm":1}
            > device.attach {"device":2,"pt":3} EBUSY pasids_in_use
            hwpt.alloc {"device":2,"pt":1,"flags":["pasid"]}
            > device.attach {"device":2,"pt":4,"pasid":1} EBUSY pasid_taken
            device.attach {"device":2,"pt":4}
            > device.replace {"device":2,"pt":3} EBUSY pasids_in_use
            """)
    }

    @Test func pasids() throws {
        var topology = TopologyDescription.laboratory
        for index in topology.devices.indices where topology.devices[index].name == "uacce0" {
            topology.devices[index].pasidBits = 1
            topology.devices[index].queues = 1
        }
        try ServiceBench(topology: topology).run(
            """
            device.bind {"name":"uacce0"}
            device.bind {"name":"0000:03:00.0"}
            mm.create {}
            mm.create {}
            sva.bind {"device":2,"mm":1}
            sva.bind {"device":2,"mm":2}
            > sva.bind {"device":1,"mm":2} EOVERFLOW pasid_too_large
            > queue.open {"device":1,"mm":2} EOVERFLOW pasid_too_large
            sva.bind {"device":1,"mm":1}
            mm.create {}
            > sva.bind {"device":1,"mm":3} ENOSPC pasid_exhausted
            > queue.open {"device":1,"mm":3} ENOSPC pasid_exhausted
            queue.open {"device":1,"mm":1}
            > queue.open {"device":1,"mm":1} EBUSY queues_in_use
            """)
        try ServiceBench().run(
            """
            ioas.alloc {}
            device.bind {"name":"uacce0"}
            device.bind {"name":"0000:03:00.0"}
            mm.create {}
            sva.bind {"device":3,"mm":1}
            hwpt.alloc {"device":2,"pt":1,"flags":["pasid"]}
            device.attach {"device":2,"pt":4,"pasid":1}
            > sva.bind {"device":2,"mm":1} EBUSY pasid_in_use
            > queue.open {"device":2,"mm":1} EBUSY pasid_in_use
            """)
    }

    @Test func queues() throws {
        let bench = try ServiceBench()
        let client = try bench.connect()
        try bench.run(
            """
            device.bind {"name":"uacce0"}
            mm.create {}
            > queue.open {"device":9,"mm":1} ENOENT unknown_device
            > queue.open {"device":1,"mm":9} ENOENT unknown_mm
            queue.open {"device":1,"mm":1}
            > queue.start {"queue":9} ENOENT unknown_queue
            > queue.stop {"queue":9} ENOENT unknown_queue
            > queue.close {"queue":9} ENOENT unknown_queue
            > queue.submit {"queue":9,"op":"fill","dst":0,"length":1} ENOENT unknown_queue
            > queue.submit {"queue":1,"op":"fill","length":1} EINVAL invalid_params
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":1} EINVAL queue_not_started
            > sva.unbind {"bond":1} EBUSY bond_of_queues
            queue.start {"queue":1}
            > queue.start {"queue":1} EINVAL queue_started
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":0} EINVAL bad_length
            > queue.submit {"queue":1,"op":"fill","dst":"0xffffffffffffffff","length":2} EOVERFLOW address_overflow
            mm.exit {"mm":1}
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":1} ESRCH mm_exited
            > queue.stop {"queue":1} ESRCH mm_exited
            > queue.start {"queue":1} ESRCH mm_exited
            > queue.open {"device":1,"mm":1} ESRCH mm_exited
            device.unbind {"device":1}
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":1} ENODEV device_unbound
            > queue.stop {"queue":1} ENODEV device_unbound
            > queue.start {"queue":1} ENODEV device_unbound
            """, on: client)
        try bench.run(
            """
            device.bind {"name":"uacce0"}
            ioas.alloc {}
            mm.create {}
            queue.open {"device":1,"mm":1}
            queue.start {"queue":1}
            hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
            viommu.alloc {"device":1,"hwpt":3,"type":"arm_smmuv3"}
            device.remove {"name":"uacce0"}
            > vdevice.alloc {"viommu":4,"device":1,"virt_id":1} ENODEV device_removed
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":1} ENODEV device_removed
            > queue.stop {"queue":1} ENODEV device_removed
            > queue.start {"queue":1} ENODEV device_removed
            > queue.open {"device":1,"mm":1} ENODEV device_removed
            > sva.bind {"device":1,"mm":1} ENODEV device_removed
            > device.hw_info {"device":1} ENODEV device_removed
            > device.attach {"device":1,"pt":2} ENODEV device_removed
            > device.replace {"device":1,"pt":2} ENODEV device_removed
            > device.detach {"device":1} ENODEV device_removed
            > hwpt.alloc {"device":1,"pt":2} ENODEV device_removed
            > viommu.alloc {"device":1,"hwpt":2,"type":"arm_smmuv3"} ENODEV device_removed
            > dma.read {"device":1,"iova":0,"length":1} ENODEV device_removed
            > dma.write {"device":1,"iova":0,"data":"AAAA"} ENODEV device_removed
            > smmu.ste {"device":1} ENODEV device_removed
            > smmu.cd {"device":1} ENODEV device_removed
            > smmu.translate {"device":1,"iova":0} ENODEV device_removed
            > device.remove {"name":"uacce0"} ENODEV unknown_device
            """)
    }

    @Test func inspection() throws {
        try ServiceBench().run(
            """
            device.bind {"name":"0000:01:00.0"}
            > smmu.registers {"smmu":"nobody"} ENOENT unknown_smmu
            > smmu.cache {"smmu":"nobody"} ENOENT unknown_smmu
            > smmu.commands {"smmu":"nobody"} ENOENT unknown_smmu
            > smmu.events {"smmu":"nobody"} ENOENT unknown_smmu
            > smmu.ste {"smmu":"nobody","stream_id":1} ENOENT unknown_smmu
            > smmu.cd {"smmu":"nobody","stream_id":1} ENOENT unknown_smmu
            > smmu.translate {"smmu":"nobody","stream_id":1,"iova":0} ENOENT unknown_smmu
            > smmu.ste {} EINVAL invalid_params
            > smmu.cd {"smmu":"smmu0"} EINVAL invalid_params
            > smmu.translate {"smmu":"smmu0","device":1,"iova":0} EINVAL invalid_params
            > smmu.ste {"device":9} ENOENT unknown_device
            > smmu.cd {"device":9} ENOENT unknown_device
            > smmu.translate {"device":9,"iova":0} ENOENT unknown_device
            > smmu.registers {} EINVAL invalid_params
            > smmu.cache {"smmu":"smmu0","vsmmu":1} EINVAL invalid_params
            > smmu.commands {} EINVAL invalid_params
            > smmu.events {} EINVAL invalid_params
            > smmu.ste {"vsmmu":1} EINVAL invalid_params
            > smmu.cd {"vsmmu":1,"device":1,"stream_id":1} EINVAL invalid_params
            > smmu.registers {"vsmmu":9} ENOENT unknown_vsmmu
            > smmu.cache {"vsmmu":9} ENOENT unknown_vsmmu
            > smmu.commands {"vsmmu":9} ENOENT unknown_vsmmu
            > smmu.events {"vsmmu":9} ENOENT unknown_vsmmu
            > smmu.ste {"vsmmu":9,"stream_id":1} ENOENT unknown_vsmmu
            > smmu.cd {"vsmmu":9,"stream_id":1} ENOENT unknown_vsmmu
            > smmu.translate {"vsmmu":9,"stream_id":1,"iova":0} ENOENT unknown_vsmmu
            > smmu.ste {"smmu":"smmu0","stream_id":"0xffffffff"} ENOENT no_ste
            > smmu.cd {"device":1,"substream_id":9} ENOENT no_cd
            """)
    }

    @Test func statesOfBareSMMUs() throws {
        try ServiceBench().run(
            """
            vsmmu.create {}
            vsmmu.create {"identity":"full"}
            memory.create {"size":65536}
            > vsmmu.save {"vsmmu":9,"memory":1} ENOENT unknown_vsmmu
            > vsmmu.load {"vsmmu":9,"memory":1} ENOENT unknown_vsmmu
            > vsmmu.save {"vsmmu":1,"memory":9} ENOENT unknown_memory
            > vsmmu.load {"vsmmu":1,"memory":9} ENOENT unknown_memory
            > vsmmu.save {"vsmmu":1,"memory":1,"offset":65528} EINVAL outside_memory
            > vsmmu.load {"vsmmu":1,"memory":1,"offset":65528} EINVAL outside_memory
            > vsmmu.load {"vsmmu":1,"memory":1} EINVAL state_corrupt
            vsmmu.save {"vsmmu":1,"memory":1}
            > vsmmu.load {"vsmmu":2,"memory":1} EINVAL state_mismatch
            memory.write {"memory":1,"offset":8,"data":"Aw=="}
            > vsmmu.load {"vsmmu":1,"memory":1} EINVAL state_version
            """)
        try ServiceBench { $0.limits.transferBytes = 16 }.run(
            """
            vsmmu.create {}
            memory.create {"size":65536}
            > vsmmu.save {"vsmmu":1,"memory":1} EMSGSIZE transfer_too_large
            > vsmmu.load {"vsmmu":1,"memory":1} EMSGSIZE transfer_too_large
            """)
    }

    @Test func bareSMMUs() throws {
        try ServiceBench().run(
            """
            vsmmu.create {}
            memory.create {"size":65536}
            > vsmmu.create {"idr":{"IDR0":"0xffffffff"}} EINVAL idr_not_modelled
            > vsmmu.destroy {"vsmmu":9} ENOENT unknown_vsmmu
            > vsmmu.memory {"vsmmu":9,"memory":1,"length":4096,"gpa":0} ENOENT unknown_vsmmu
            > vsmmu.memory {"vsmmu":1,"memory":9,"length":4096,"gpa":0} ENOENT unknown_memory
            > vsmmu.memory {"vsmmu":1,"memory":1,"length":1,"gpa":0} EINVAL bad_range
            vsmmu.memory {"vsmmu":1,"memory":1,"length":4096,"gpa":0}
            > vsmmu.memory {"vsmmu":1,"memory":1,"length":4096,"gpa":0} EEXIST gpa_in_use
            > vsmmu.unmap_memory {"vsmmu":9,"gpa":0} ENOENT unknown_vsmmu
            > vsmmu.unmap_memory {"vsmmu":1,"gpa":4096} ENOENT no_guest_memory
            > vsmmu.mmio_read {"vsmmu":9,"offset":0,"size":4} ENOENT unknown_vsmmu
            > vsmmu.mmio_read {"vsmmu":1,"offset":0,"size":3} EINVAL bad_width
            > vsmmu.mmio_read {"vsmmu":1,"offset":2,"size":4} EINVAL misaligned_register
            > vsmmu.mmio_write {"vsmmu":9,"offset":0,"size":4,"value":0} ENOENT unknown_vsmmu
            > vsmmu.mmio_write {"vsmmu":1,"offset":0,"size":3,"value":0} EINVAL bad_width
            > vsmmu.mmio_write {"vsmmu":1,"offset":2,"size":4,"value":0} EINVAL misaligned_register
            > vsmmu.mmio_write {"vsmmu":1,"offset":"0x20","size":4,"value":"0x100000000"} EINVAL value_too_wide
            > vsmmu.set_irq {"vsmmu":9,"irq":"evtq","enable":false} ENOENT unknown_vsmmu
            > vsmmu.translate {"vsmmu":9,"stream_id":0,"iova":0} ENOENT unknown_vsmmu
            > vsmmu.translate_many {"vsmmu":9,"requests":[]} ENOENT unknown_vsmmu
            > memory.import {} EBADF descriptor_missing
            > mm.open {} EBADF descriptor_missing
            > vsmmu.set_irq {"vsmmu":1,"irq":"evtq"} EBADF descriptor_missing
            """)
    }

    @Test func hotplug() throws {
        var topology = TopologyDescription.laboratory
        var plain = SMMUDescription(name: "plain")
        (plain.substreamIDBits, plain.stall, plain.pri, plain.ats) = (0, false, false, false)
        topology.smmus.append(plain)
        topology.devices.append(DeviceDescription(name: "plain", smmu: "plain", streamIDs: [1]))
        try ServiceBench(topology: topology).run(
            """
            > device.add {"name":"n","smmu":"nobody","stream_ids":[9]} ENOENT unknown_smmu
            > device.add {"name":"plain","smmu":"smmu0","stream_ids":[9]} EEXIST device_exists
            > device.add {"name":"n","smmu":"smmu0","stream_ids":["0x100"]} EEXIST stream_id_taken
            > device.add {"name":"n","smmu":"smmu0","stream_ids":[9,9]} EINVAL stream_id_twice
            > device.add {"name":"n","smmu":"smmu0","stream_ids":["0xffffffff"]} EINVAL bad_stream_id
            > device.add {"name":"n","smmu":"plain","stream_ids":[9],"pasid_bits":1} EINVAL bad_pasid_bits
            > device.add {"name":"n","smmu":"plain","stream_ids":[9],"stall":true} EINVAL no_stall
            > device.add {"name":"n","smmu":"plain","stream_ids":[9],"ats":true} EINVAL no_ats
            > device.add {"name":"n","smmu":"smmu0","stream_ids":[9],"pri":true} EINVAL pri_without_ats
            > device.add {"name":"n","smmu":"smmu0","stream_ids":[9],"queues":1} EINVAL queues_without_pasids
            > device.add {"name":"n","smmu":"smmu1","stream_ids":[9],"group":"pair"} EINVAL group_spans_smmus
            > device.add {"name":"n","smmu":"smmu0","stream_ids":[9],"reserved":[{"start":1,"last":0}]} EINVAL bad_range
            > device.remove {"name":"nobody"} ENODEV unknown_device
            """)
    }
}
