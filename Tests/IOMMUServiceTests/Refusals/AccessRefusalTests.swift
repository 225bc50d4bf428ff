import Testing

/// What accesses of devices end with.
@Suite struct AccessRefusalTests {
    @Test func accesses() throws {
        try ServiceBench { $0.limits.waitingAccesses = 0 }.run(
            """
            device.bind {"name":"uacce0"}
            mm.create {}
            queue.open {"device":1,"mm":1}
            queue.start {"queue":1}
            > dma.read {"device":1,"iova":0,"length":1} EDQUOT quota_exceeded
            > dma.write {"device":1,"iova":0,"data":"AAAA"} EDQUOT quota_exceeded
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":1} EDQUOT quota_exceeded
            """)
        try ServiceBench().run(
            """
            device.bind {"name":"0000:04:00.0"}
            ioas.alloc {}
            memory.create {"size":65536}
            ioas.map {"ioas":2,"memory":1,"length":4096,"iova":"0x10000","access":["read"]}
            ioas.map {"ioas":2,"memory":1,"length":4096,"iova":"0x20000","access":["write"]}
            > dma.read {"device":9,"iova":0,"length":1} ENOENT unknown_device
            > dma.write {"device":9,"iova":0,"data":"AAAA"} ENOENT unknown_device
            > dma.read {"device":1,"iova":0,"length":0} EINVAL bad_length
            > dma.write {"device":1,"iova":0,"data":""} EINVAL bad_length
            > dma.read {"device":1,"iova":"0xffffffffffffffff","length":2} EOVERFLOW address_overflow
            > dma.write {"device":1,"iova":"0xffffffffffffffff","data":"AAAA"} EOVERFLOW address_overflow
            > dma.read {"device":1,"iova":0,"length":1,"pasid":1048576} EINVAL bad_pasid
            > dma.write {"device":1,"iova":0,"data":"AAAA","pasid":1048576} EINVAL bad_pasid
            > dma.read {"device":1,"iova":0,"length":1} EFAULT blocked
            > dma.write {"device":1,"iova":0,"data":"AAAA"} EFAULT blocked
            device.attach {"device":1,"pt":2}
            > dma.read {"device":1,"iova":0,"length":1} EFAULT f_translation
            > dma.write {"device":1,"iova":0,"data":"AAAA"} EFAULT f_translation
            > dma.write {"device":1,"iova":"0x10000","data":"AAAA"} EFAULT f_permission
            > dma.read {"device":1,"iova":0,"length":1,"pasid":5} EFAULT c_bad_substreamid
            > dma.write {"device":1,"iova":0,"data":"AAAA","pasid":5} EFAULT c_bad_substreamid
            hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
            device.replace {"device":1,"pt":4}
            > dma.read {"device":1,"iova":"0x20000","length":1} EFAULT f_permission
            """)
    }

    /// What a guest's own STE makes of accesses.
    @Test func guestEntries() throws {
        for (ste, reason) in [
            (#"["0x1",0]"#, "ste_abort"), (#"["0x100b",0]"#, "c_bad_cd"),
            (#"["0x180000000000100b",0]"#, "f_stream_disabled"),
        ] {
            try ServiceBench().run(
                """
                device.bind {"name":"0000:03:00.0"}
                ioas.alloc {}
                memory.create {"size":65536}
                ioas.map {"ioas":2,"memory":1,"length":65536,"iova":0}
                hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
                viommu.alloc {"device":1,"hwpt":3,"type":"arm_smmuv3"}
                vdevice.alloc {"viommu":4,"device":1,"virt_id":1}
                hwpt.alloc {"device":1,"pt":4,"data":{"type":"arm_smmuv3","ste":\(ste)}}
                device.attach {"device":1,"pt":6}
                > dma.read {"device":1,"iova":0,"length":1} EFAULT \(reason)
                > dma.write {"device":1,"iova":0,"data":"AAAA"} EFAULT \(reason)
                """)
        }
    }

    @Test func endedAddressSpaces() throws {
        try ServiceBench().run(
            """
            device.bind {"name":"uacce0"}
            mm.create {}
            sva.bind {"device":1,"mm":1}
            mm.exit {"mm":1}
            > dma.read {"device":1,"pasid":1,"iova":0,"length":1} EFAULT quiesced
            > dma.write {"device":1,"pasid":1,"iova":0,"data":"AAAA"} EFAULT quiesced
            """)
        try ServiceBench().run(
            """
            device.bind {"name":"uacce0"}
            mm.create {}
            memory.create {"size":4096}
            mm.map {"mm":1,"va":0,"memory":1,"length":4096,"access":["read"]}
            queue.open {"device":1,"mm":1}
            queue.start {"queue":1}
            > queue.submit {"queue":1,"op":"fill","dst":0,"length":1} EFAULT f_permission
            """)
    }

    /// Another connection closes the session while a device waits for its fault to be answered.
    @Test func closedSessions() throws {
        for (method, params) in [
            ("dma.read", #"{"device":1,"iova":0,"length":1}"#), ("dma.write", #"{"device":1,"iova":0,"data":"AAAA"}"#),
        ] {
            let bench = try ServiceBench()
            let waiting = try bench.connect()
            try bench.run(
                """
                session.attach {"name":"a"}
                device.bind {"name":"0000:03:00.0"}
                ioas.alloc {}
                fault.alloc {}
                hwpt.alloc {"device":1,"pt":2,"fault":3}
                device.attach {"device":1,"pt":4}
                """, on: waiting)
            #expect(try waiting.answer(method, params) == nil)
            try bench.run(
                """
                session.attach {"name":"a"}
                session.close {}
                """)
            #expect(try waiting.receive()["error"]?["data"]?["reason"]?.stringValue == "session_closed")
        }
    }
}
