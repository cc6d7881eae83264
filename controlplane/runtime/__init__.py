"""The asyncio driver: runs the machines against real clocks and real stores."""
